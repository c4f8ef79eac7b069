# RLHFD_CUDA: common/tensor/cuda as one shared object that backend_open opens at run time, so one build serves machines with and
# without a GPU. ON insists on nvcc; AUTO builds it where nvcc is found and new enough; OFF never. tests/cuda_emu compiles the
# same files for the CPU, whatever this says.
set(cuda_directory ${CMAKE_SOURCE_DIR}/common/tensor/cuda)
set(cuda_oldest 12.8) # the first that knows sm_100

# Says in `ret` whether this build has the module.
function(cuda_wanted ret)
    set(${ret} FALSE PARENT_SCOPE)
    if(RLHFD_CUDA STREQUAL OFF OR (RLHFD_CUDA STREQUAL AUTO AND (RLHFD_SANITIZE OR RLHFD_FUZZ)))
        return()
    endif()
    set(CMAKE_CUDA_ARCHITECTURES OFF) # of the check; each target below says its own
    include(CheckLanguage)
    check_language(CUDA)
    set(lacks "nvcc was not found")
    if(CMAKE_CUDA_COMPILER)
        execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE text)
        string(REGEX REPLACE ".*release ([0-9.]+).*" "\\1" version "${text}")
        set(lacks "${CMAKE_CUDA_COMPILER} is of release ${version}, before ${cuda_oldest}")
        if(version VERSION_GREATER_EQUAL cuda_oldest)
            set(${ret} TRUE PARENT_SCOPE)
            return()
        endif()
    endif()
    if(RLHFD_CUDA STREQUAL ON)
        message(FATAL_ERROR "RLHFD_CUDA=ON: ${lacks}. AUTO and OFF build without the CUDA module.")
    endif()
    message(STATUS "CUDA: ${lacks}; no module librlhfd_cuda.so")
endfunction()

# Real code alone: what a driver made of PTX would have other bits. A file *_hopper.cu uses instructions that only sm_90a has; open.c
# chooses by the device, so no other device meets a launch of its kernels.
function(cuda_objects name)
    cmake_parse_arguments(of "" "" "SOURCES;SM" ${ARGN})
    add_library(${name} OBJECT ${of_SOURCES})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/common)
    set_target_properties(${name} PROPERTIES CUDA_ARCHITECTURES OFF CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
        CUDA_EXTENSIONS OFF CUDA_RUNTIME_LIBRARY Shared CUDA_VISIBILITY_PRESET hidden
        CUDA_COMPILER_LAUNCHER "${CMAKE_SOURCE_DIR}/cmake/nvcc_logged")
    target_compile_options(${name} PRIVATE -fmad=false
        -Xcompiler=-Wall,-Wextra,-Wno-unused-parameter,-ffp-contract=off,-fno-math-errno)
    foreach(sm ${of_SM})
        target_compile_options(${name} PRIVATE -gencode=arch=compute_${sm},code=sm_${sm})
    endforeach()
endfunction()

cuda_wanted(RLHFD_HAVE_CUDA)
if(RLHFD_HAVE_CUDA)
    set(CMAKE_CUDA_ARCHITECTURES OFF)
    set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O3 -g")
    set(CMAKE_CUDA_FLAGS_RELEASE "-O3")
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    file(GLOB cuda_sources CONFIGURE_DEPENDS ${cuda_directory}/*.cu)
    set(cuda_hopper_sources ${cuda_sources})
    list(FILTER cuda_hopper_sources INCLUDE REGEX "_hopper\\.cu$")
    list(FILTER cuda_sources EXCLUDE REGEX "_hopper\\.cu$")
    file(GLOB cuda_glue CONFIGURE_DEPENDS ${cuda_directory}/*.c)
    cuda_objects(rlhfd_cuda_kernels SOURCES ${cuda_sources} SM 80 90a 100)
    cuda_objects(rlhfd_cuda_hopper SOURCES ${cuda_hopper_sources} SM 90a)
    add_library(rlhfd_cuda MODULE ${cuda_glue} $<TARGET_OBJECTS:rlhfd_cuda_kernels> $<TARGET_OBJECTS:rlhfd_cuda_hopper>)
    target_include_directories(rlhfd_cuda PRIVATE common)
    # One CUDA runtime in a process: launches link the shared one, and common/gpu takes the one that is there.
    target_link_libraries(rlhfd_cuda PRIVATE rlhfd_cuda_build rlhfd_tensor CUDA::cudart)
    set(exported ${CMAKE_SOURCE_DIR}/cmake/backend_module.map)
    target_link_options(rlhfd_cuda PRIVATE -Wl,--version-script=${exported})
    # backend_open("cuda", ...) looks for it beside the program that runs.
    set_target_properties(rlhfd_cuda PROPERTIES LINKER_LANGUAGE CXX LINK_DEPENDS ${exported} INSTALL_RPATH_USE_LINK_PATH ON
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
    install(TARGETS rlhfd_cuda LIBRARY DESTINATION bin OPTIONAL)
endif()
