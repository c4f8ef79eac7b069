# RLHFD_CUDA: common/tensor/cuda/*.cu as one shared object that backend_open opens at run time, so one build serves machines
# with and without a GPU. ON insists on nvcc; AUTO builds it where nvcc is found; OFF never.
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/common/tensor/cuda/*.cu)
if(NOT RLHFD_CUDA STREQUAL OFF)
    include(CheckLanguage)
    check_language(CUDA)
    if(RLHFD_CUDA STREQUAL ON AND NOT CMAKE_CUDA_COMPILER)
        message(FATAL_ERROR "RLHFD_CUDA=ON needs nvcc; it was not found. AUTO or OFF build without it.")
    endif()
    if(RLHFD_CUDA STREQUAL ON AND cuda_sources)
        enable_language(CUDA)
        add_library(rlhfd_cuda MODULE ${cuda_sources})
        target_include_directories(rlhfd_cuda PRIVATE common)
        target_link_libraries(rlhfd_cuda PRIVATE rlhfd_gpu rlhfd_base)
        # One CUDA runtime in a process: launches link the shared one, and common/gpu takes the one that is there.
        set_target_properties(rlhfd_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Shared INSTALL_RPATH_USE_LINK_PATH ON)
        # backend_open("cuda", ...) looks for it beside the program that runs.
        set_target_properties(rlhfd_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
        install(TARGETS rlhfd_cuda LIBRARY DESTINATION bin)
    elseif(NOT cuda_sources)
        message(STATUS "CUDA: this version has no kernels; everything runs on the CPU backend")
    endif()
endif()
