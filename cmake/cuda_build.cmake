# rlhfd_cuda_build: a name for the sources of common/tensor/cuda, as the ids of numerics have it. Two builds of the same sources have
# the same name, and any change of them another one.
file(GLOB cuda_named CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/common/tensor/cuda/*.cu ${CMAKE_SOURCE_DIR}/common/tensor/cuda/*.c
    ${CMAKE_SOURCE_DIR}/common/tensor/cuda/*.h)
set(cuda_build_c ${CMAKE_BINARY_DIR}/cuda_build.c)
string(REPLACE ";" "|" cuda_named_in_one "${cuda_named}")
add_custom_command(
    OUTPUT ${cuda_build_c}
    COMMAND ${CMAKE_COMMAND} "-DFILES=${cuda_named_in_one}" -DTO=${cuda_build_c} -P ${CMAKE_SOURCE_DIR}/cmake/name_sources.cmake
    DEPENDS ${cuda_named} ${CMAKE_SOURCE_DIR}/cmake/name_sources.cmake
    VERBATIM)
add_library(rlhfd_cuda_build STATIC ${cuda_build_c})
