# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where, everything below the prefix given to it. Programs and modules
# find libccs.so relative to their own place, so that no prefix needs ldconfig.
include(CMakePackageConfigHelpers)

set(CCS_NGINX_MODULE_DIR "lib/nginx/modules" CACHE STRING
    "Where nginx modules are installed, below the prefix")
set(CCS_APACHE_MODULE_DIR "lib/apache2/modules" CACHE STRING
    "Where the Apache module is installed, below the prefix")

install(TARGETS ccs EXPORT ccs-targets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/ccs "${CMAKE_BINARY_DIR}/include/ccs"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h" PATTERN "settings.def")

set(ccs_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ccs")
install(EXPORT ccs-targets NAMESPACE ccs:: DESTINATION "${ccs_cmake_dir}")
configure_package_config_file(lib/ccs-config.cmake.in "${CMAKE_BINARY_DIR}/ccs-config.cmake"
  INSTALL_DESTINATION "${ccs_cmake_dir}" NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file("${CMAKE_BINARY_DIR}/ccs-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/ccs-config.cmake" "${CMAKE_BINARY_DIR}/ccs-config-version.cmake"
        DESTINATION "${ccs_cmake_dir}")

set(ccs_pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH CCS_PC_PREFIX "/${ccs_pc_dir}" "/")
configure_file(lib/ccs.pc.in "${CMAKE_BINARY_DIR}/ccs.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/ccs.pc" DESTINATION "${ccs_pc_dir}")

# ccs_install_program(<target> <directory>): with the way from there to libccs.so.
function(ccs_install_program target directory)
  if(TARGET ${target})
    file(RELATIVE_PATH to_lib "/${directory}" "/${CMAKE_INSTALL_LIBDIR}")
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
    install(TARGETS ${target} RUNTIME DESTINATION "${directory}" LIBRARY DESTINATION "${directory}")
  endif()
endfunction()

if(TARGET ccsctl)
  install(TARGETS ccsctl RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  install(FILES docs/man/ccsctl.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
endif()
# Where libccs.so looks for it first, seen from its own place: lib/CMakeLists.txt.
if(TARGET ccs-agent)
  install(TARGETS ccs-agent RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}")
  install(FILES docs/man/ccs-agent.8 DESTINATION "${CMAKE_INSTALL_MANDIR}/man8")
endif()
foreach(module ngx_http_ccs_module ngx_stream_ccs_module)
  ccs_install_program(${module} "${CCS_NGINX_MODULE_DIR}")
endforeach()
ccs_install_program(mod_ccs "${CCS_APACHE_MODULE_DIR}")
