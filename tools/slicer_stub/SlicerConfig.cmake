# A stand-in for Slicer's build tree, as far as an extension without C++ asks for it: names, folders, macros. It copies and
# installs files into the places where Slicer 5.12 does (Slicer: CMake/SlicerMacroBuildScriptedModule.cmake; CTK:
# CMake/ctkMacroCompilePythonScript.cmake), so that a file missing from a list is missing here too. Used by tools/package.py.
set(Slicer_FOUND TRUE)
set(Slicer_VERSION_MAJOR 5)
set(Slicer_VERSION_MINOR 12)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.12/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "./${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
set(Slicer_INSTALL_SHARE_DIR "./share/Slicer-5.12")
set(Slicer_USE_PYTHONQT ON)
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/CheckExtension.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/InstallDescription.cmake")
