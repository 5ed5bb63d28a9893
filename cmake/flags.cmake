# SPDX-License-Identifier: Apache-2.0
# Compiler and linker flags of everything that is ours.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

add_compile_definitions(_GNU_SOURCE OPENSSL_NO_DEPRECATED OPENSSL_API_COMPAT=30000)

# nginx's headers do not pass the strict set, so its modules take the plain one.
set(CCS_WARNINGS -Wall -Wextra -Wshadow -Wpointer-arith -Wvla -Wundef -Wformat=2
    -Wmissing-declarations -Wwrite-strings -Wcast-align -Wimplicit-fallthrough)
set(CCS_WARNINGS_STRICT ${CCS_WARNINGS} -Wpedantic -Wconversion -Wsign-conversion
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wnull-dereference -Wdouble-promotion)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND CCS_WARNINGS -Wlogical-op -Wduplicated-cond -Wduplicated-branches)
  # clang says it of OpenSSL's macros, too.
  list(APPEND CCS_WARNINGS_STRICT -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wcast-qual)
endif()
if(CCS_WERROR)
  list(APPEND CCS_WARNINGS -Werror)
  list(APPEND CCS_WARNINGS_STRICT -Werror)
endif()

if(CCS_SANITIZE)
  add_compile_options(-fsanitize=${CCS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CCS_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES "^Rel")
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -fcf-protection)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
  # All symbols are bound at start anyway. A handshake calls OpenSSL from many places, once each, and
  # each detour through the linkage table would be one more line of code that is in no cache.
  add_compile_options(-fno-plt -fno-semantic-interposition)
endif()
