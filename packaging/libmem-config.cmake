# SPDX-License-Identifier: MIT
#
# libmem-config.cmake - what find_package(libmem) reads. `make install` puts it into
# lib/cmake/libmem, and it names all files from there: an installed libmem may be moved.
#
#     libmem::mem         libmem.so, for mem.h, mem_heap.h and mem.hpp
#     libmem::mem_static  libmem.a, for these headers
#     libmem::malloc      libmem-malloc.so: the program allocates from it
#
# ../CMakeLists.txt has targets of these names for add_subdirectory.
if(TARGET libmem::mem)
    return()
endif()

# The real path, since /lib is a link to /usr/lib on many systems, and /include is not there.
get_filename_component(libmem_prefix "${CMAKE_CURRENT_LIST_DIR}" REALPATH)
get_filename_component(libmem_prefix "${libmem_prefix}/../../.." ABSOLUTE)

add_library(libmem::mem SHARED IMPORTED)
add_library(libmem::mem_static STATIC IMPORTED)
add_library(libmem::malloc SHARED IMPORTED)
set_target_properties(libmem::mem PROPERTIES
    IMPORTED_LOCATION "${libmem_prefix}/lib/libmem.so"
    INTERFACE_INCLUDE_DIRECTORIES "${libmem_prefix}/include")
set_target_properties(libmem::mem_static PROPERTIES
    IMPORTED_LOCATION "${libmem_prefix}/lib/libmem.a"
    INTERFACE_INCLUDE_DIRECTORIES "${libmem_prefix}/include"
    INTERFACE_LINK_OPTIONS -pthread)
# A linker that defaults to --as-needed would drop the library from a program in which only other
# libraries call malloc.
set_target_properties(libmem::malloc PROPERTIES
    IMPORTED_LOCATION "${libmem_prefix}/lib/libmem-malloc.so"
    IMPORTED_NO_SONAME TRUE
    INTERFACE_LINK_OPTIONS LINKER:--no-as-needed)
unset(libmem_prefix)
