"""PythonQt's manners over PySide6: what a scripted module of Slicer may expect of `qt`, and what it may not.

Slicer's Python speaks to Qt through PythonQt (github.com/MeVisLab/pythonqt). There a Qt property is an attribute
(`button.text`, not `button.text()`), `name` is `objectName`, a signal is connected by its signature, and a name that a
C++ object does not have cannot be set. PySide6 differs in all of these, so code that runs on it unguarded may fail in
Slicer. `install()` patches the classes of PySide6, once for a process; the widgets of this host speak PythonQt then.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

QT_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
# Qt asks Python for these two while it lays out; as attributes they would be called as methods no more.
METHODS_ALL_THE_SAME = frozenset({"sizeHint", "minimumSizeHint"})
# PythonQt makes a string of whatever these are given; PySide6 raises TypeError.
TAKE_ANYTHING_AS_TEXT = frozenset(
    {"setText", "setToolTip", "setStatusTip", "setTitle", "setWindowTitle", "setPlainText", "appendPlainText"}
)

_plain_set = shiboken6.Shiboken.Object.__setattr__
# Some classes of PySide6 look up in a way of their own (QFile.exists is static and not), so each keeps its own.
_own_lookups: dict[type, Callable[[Any, str], Any]] = {}
_properties: dict[type, dict[str, QtCore.QMetaProperty]] = {}


def _plain_get(self: QtCore.QObject, name: str) -> Any:
    cls = type(self)
    lookup = _own_lookups.get(cls)
    if lookup is None:
        lookup = next(_own_lookups[base] for base in cls.__mro__ if base in _own_lookups)
        _own_lookups[cls] = lookup
    return lookup(self, name)


def stand_in(cls: type) -> type:
    """Mark a Python class that is a C++ class in Slicer: only its properties, and names with `_`, can be set."""
    cls._stand_in_for_cxx = cls.__name__
    return cls


def properties_of(cls: type) -> dict[str, QtCore.QMetaProperty]:
    """The Qt properties of a class by their names."""
    if cls not in _properties:
        meta = cls.staticMetaObject
        found = [meta.property(i) for i in range(meta.propertyCount())]
        _properties[cls] = {p.name(): p for p in found if p.name() not in METHODS_ALL_THE_SAME}
    return _properties[cls]


def is_guarded(cls: type) -> bool:
    """True for what is a C++ class in Slicer; a module's own subclass of one may hold any attribute."""
    return cls.__module__.startswith("PySide6.") or cls.__dict__.get("_stand_in_for_cxx") == cls.__name__


def is_pythonqt_call(arguments: tuple[Any, ...]) -> bool:
    """True for `("signal()", callable)` and `("signal()", receiver, "slot()")`; Qt itself prefixes its signatures."""
    return (
        1 <= len(arguments) <= 3
        and isinstance(arguments[0], str)
        and arguments[0][:1].isalpha()
        and (len(arguments) < 3 or isinstance(arguments[2], str))
    )


def connect(sender: QtCore.QObject, *arguments: Any) -> bool:
    """`sender.connect("clicked()", callable)`, or with a receiver and the signature of its slot.

    Returns False, with a line on the console, where the sender has no such signal.
    """
    if not is_pythonqt_call(arguments):
        return _plain_get(sender, "connect")(*arguments)
    signal = find_signal(sender, arguments[0])
    if signal is None:
        print(f"connect: {type(sender).__name__} has no signal {arguments[0]}")
        return False
    if isinstance(signal, str):
        return bool(QtCore.QObject.connect(sender, signal, find_slot(*arguments[1:])))
    return bool(signal.connect(find_slot(*arguments[1:])))


def disconnect(sender: QtCore.QObject, *arguments: Any) -> bool:
    """The reverse of `connect`; False where there was no such connection."""
    if not is_pythonqt_call(arguments) or len(arguments) < 2:
        return _plain_get(sender, "disconnect")(*arguments)
    signal = find_signal(sender, arguments[0])
    if isinstance(signal, str):
        return bool(QtCore.QObject.disconnect(sender, signal, find_slot(*arguments[1:])))
    return signal is not None and bool(signal.disconnect(find_slot(*arguments[1:])))


def find_signal(sender: QtCore.QObject, signature: str) -> Any:
    """Qt's form of a signature, or the signal object itself where an argument is a VTK object (`vtkMRMLNode*`)."""
    name, types_of_arguments = signature.partition("(")[::2]
    if "*" in types_of_arguments and isinstance(getattr(type(sender), name, None), QtCore.Signal):
        return getattr(sender, name)
    normal = QtCore.QMetaObject.normalizedSignature(signature).data().decode()
    known = _plain_get(sender, "metaObject")().indexOfSignal(normal) >= 0
    return QtCore.SIGNAL(normal) if known else None


def find_slot(receiver: Any, slot: str | None = None) -> Callable[..., Any]:
    return receiver if slot is None else getattr(receiver, slot.partition("(")[0])


def _get(self: QtCore.QObject, name: str) -> Any:
    if name.startswith("_"):
        return _plain_get(self, name)
    if name == "name":
        return _plain_get(self, "objectName")()
    if name in properties_of(type(self)):
        return _plain_get(self, "property")(name)
    if name == "connect":
        return functools.partial(connect, self)
    if name == "disconnect":
        return functools.partial(disconnect, self)
    found = _plain_get(self, name)
    if name == "children":
        return lambda: tuple(found())
    if name in TAKE_ANYTHING_AS_TEXT:
        return lambda value, *rest: found(str(value), *rest)
    return found


def _set(self: QtCore.QObject, name: str, value: Any) -> None:
    cls = type(self)
    if isinstance(value, QtCore.SignalInstance):  # PySide6 keeps a signal on its object when it is first asked for
        _plain_set(self, name, value)
        return
    if name == "name":
        name = "objectName"
    found = properties_of(cls).get(name)
    if found is None:
        if is_guarded(cls) and not (name.startswith("_") and not cls.__module__.startswith("PySide6.")):
            raise AttributeError(f"'{cls.__name__}' object has no attribute '{name}' that can be set")
        _plain_set(self, name, value)
        return
    if not found.isWritable():
        raise AttributeError(f"the property '{name}' of {cls.__name__} cannot be written")
    if isinstance(value, float) and found.typeName() == "int":
        value = int(value)
    if not _plain_get(self, "setProperty")(name, value):
        raise ValueError(f"the property '{name}' of {cls.__name__} does not take {value!r}")


def _patch(classes: list[type]) -> None:
    """Two passes: a class that has no lookup of its own must not find a patched one."""
    _own_lookups.update({cls: cls.__getattribute__ for cls in classes})
    for cls in classes:
        cls.__getattribute__ = _get
        cls.__setattr__ = _set


class UiLoader(QtUiTools.QUiLoader):
    """A QUiLoader that knows the stand-ins of ctk and qMRML widgets by their class names."""

    custom_widgets: tuple[type, ...] = ()

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        for widget in self.custom_widgets:
            self.registerCustomWidget(widget)


@functools.cache
def install() -> types.ModuleType:
    """Patch PySide6 and return the flat module `qt`, with every class of Qt's core, GUI and widgets in it."""
    qt = types.ModuleType("qt", "Qt as PythonQt shows it")
    for module in QT_MODULES:
        for name in dir(module):
            if not name.startswith("_"):
                setattr(qt, name, getattr(module, name))
    _patch([value for value in vars(qt).values() if isinstance(value, type) and issubclass(value, QtCore.QObject)])
    qt.QUiLoader = UiLoader
    return qt
