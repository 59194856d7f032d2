# What the extensions index asks of the variables of an extension.
foreach(variable EXTENSION_HOMEPAGE EXTENSION_CONTRIBUTORS EXTENSION_DESCRIPTION EXTENSION_ICONURL EXTENSION_DEPENDS)
  if("${${variable}}" STREQUAL "")
    message(FATAL_ERROR "${variable} is not set")
  endif()
endforeach()
if(EXTENSION_NAME MATCHES "^Slicer")
  message(FATAL_ERROR "The name of an extension must not begin with Slicer")
endif()
