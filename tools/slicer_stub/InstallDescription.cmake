# The description that Slicer's extensions manager reads from an installed extension.
string(REPLACE ";" " " depends "${EXTENSION_DEPENDS}")
file(WRITE "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext"
  "depends ${depends}\nhomepage ${EXTENSION_HOMEPAGE}\ncontributors ${EXTENSION_CONTRIBUTORS}\n"
  "description ${EXTENSION_DESCRIPTION}\niconurl ${EXTENSION_ICONURL}\nscreenshoturls ${EXTENSION_SCREENSHOTURLS}\n"
  "enabled 1\n")
install(FILES "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext"
  DESTINATION "${Slicer_INSTALL_SHARE_DIR}" COMPONENT RuntimeLibraries)
