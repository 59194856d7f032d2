# The macros that an extension's CMakeLists.txt call.
set(EXTENSION_NAME ${PROJECT_NAME})

function(_slicer_stub_check variable)
  foreach(file IN LISTS ARGN)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}" AND NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}.py")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule(${variable}) given nonexistent file or directory '${file}'")
    endif()
  endforeach()
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES")
  if(module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords given to slicerMacroBuildScriptedModule(): \"${module_UNPARSED_ARGUMENTS}\"")
  endif()
  if(NOT module_NAME OR NOT module_SCRIPTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule() needs NAME and SCRIPTS")
  endif()
  _slicer_stub_check(SCRIPTS ${module_SCRIPTS})
  _slicer_stub_check(RESOURCES ${module_RESOURCES})

  # With a subfolder the folder itself is installed, without one (the slash at its end) what lies in it.
  set(destination "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(installed "${destination}/")
  if(module_WITH_SUBDIR)
    get_filename_component(subfolder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    string(APPEND destination "/${subfolder}")
    set(installed "${destination}")
  endif()

  set(copies)
  foreach(file IN LISTS module_SCRIPTS)
    if(NOT file MATCHES "\\.py$")
      string(APPEND file ".py")
    endif()
    list(APPEND copies "${file}")
  endforeach()
  list(APPEND copies ${module_RESOURCES})
  set(outputs)
  foreach(file IN LISTS copies)
    add_custom_command(
      OUTPUT "${destination}/${file}"
      COMMAND ${CMAKE_COMMAND} -E copy "${CMAKE_CURRENT_SOURCE_DIR}/${file}" "${destination}/${file}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${file}"
      )
    list(APPEND outputs "${destination}/${file}")
  endforeach()
  add_custom_target(Copy${module_NAME} ALL DEPENDS ${outputs})
  install(DIRECTORY "${installed}"
    DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}" COMPONENT RuntimeLibraries USE_SOURCE_PERMISSIONS)
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(PARSE_ARGV 0 test "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS")
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${test_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest() given nonexistent file '${test_SCRIPT}'")
  endif()
endfunction()
