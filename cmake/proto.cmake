# The wire: protoc-c output of every .proto, as rlhfd_proto, and one descriptor set for reflection.
find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_GEN_C protoc-gen-c REQUIRED)
set(proto_out ${CMAKE_BINARY_DIR}/proto)
file(GLOB_RECURSE protos RELATIVE ${CMAKE_SOURCE_DIR}/proto CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/proto/*.proto)
set(proto_sources)
set(proto_files)
foreach(proto ${protos})
    # Third-party files are compiled by the path that their package expects (grpc/health/v1/health.proto).
    string(REGEX REPLACE "^third_party/" "" path ${proto})
    string(REGEX REPLACE "\\.proto$" ".pb-c" stem ${path})
    list(APPEND proto_sources ${proto_out}/${stem}.c)
    list(APPEND proto_files ${path})
    add_custom_command(
        OUTPUT ${proto_out}/${stem}.c ${proto_out}/${stem}.h
        COMMAND ${CMAKE_COMMAND} -E make_directory ${proto_out}
        COMMAND ${PROTOC} --plugin=protoc-gen-c=${PROTOC_GEN_C} --c_out=${proto_out}
                -I${CMAKE_SOURCE_DIR}/proto -I${CMAKE_SOURCE_DIR}/proto/third_party ${path}
        DEPENDS ${CMAKE_SOURCE_DIR}/proto/${proto}
        VERBATIM)
endforeach()
list(TRANSFORM protos PREPEND ${CMAKE_SOURCE_DIR}/proto/ OUTPUT_VARIABLE proto_paths)
add_custom_command(
    OUTPUT ${proto_out}/descriptors.bin
    COMMAND ${PROTOC} --include_imports --descriptor_set_out=${proto_out}/descriptors.bin
            -I${CMAKE_SOURCE_DIR}/proto -I${CMAKE_SOURCE_DIR}/proto/third_party ${proto_files}
    DEPENDS ${proto_paths}
    VERBATIM)
# descriptors.c: `const unsigned char descriptors[]; const size_t descriptors_len` for the reflection service.
add_custom_command(
    OUTPUT ${proto_out}/descriptors.c
    COMMAND ${CMAKE_COMMAND} -DIN=${proto_out}/descriptors.bin -DOUT=${proto_out}/descriptors.c
            -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${proto_out}/descriptors.bin ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    VERBATIM)
add_library(rlhfd_proto STATIC ${proto_sources} ${proto_out}/descriptors.c)
target_include_directories(rlhfd_proto SYSTEM PUBLIC ${proto_out})
target_compile_options(rlhfd_proto PRIVATE -w)
target_link_libraries(rlhfd_proto PUBLIC PkgConfig::PROTOBUFC)
