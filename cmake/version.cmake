# RLHFD_VERSION, as `git describe` has it: 0.1.0 at the tag v0.1.0, 0.1.0-12-gabc1234 twelve commits later, with -dirty where
# tracked files are changed. Before the first tag it is the project's version and the commit. A tarball of `git archive` has its
# version in cmake/version.txt; a copy of the tree without that is the project's version alone. Found anew when the commit changes.
function(version_of_git ret)
    set(${ret} "" PARENT_SCOPE)
    find_package(Git QUIET)
    if(NOT GIT_FOUND OR NOT EXISTS ${CMAKE_SOURCE_DIR}/.git)
        return()
    endif()
    set(git ${GIT_EXECUTABLE} -C ${CMAKE_SOURCE_DIR})
    execute_process(COMMAND ${git} describe --tags --match "v[0-9]*" --dirty
        OUTPUT_VARIABLE described ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
    if(failed)
        execute_process(COMMAND ${git} describe --always --exclude "*" --dirty
            OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
        set(described "v${PROJECT_VERSION}-g${commit}")
    endif()
    if(failed)
        return()
    endif()
    string(REGEX REPLACE "^v" "" described ${described})
    set(${ret} ${described} PARENT_SCOPE)
    execute_process(COMMAND ${git} rev-parse --path-format=absolute --git-path logs/HEAD
        OUTPUT_VARIABLE log ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(EXISTS "${log}")
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${log})
    endif()
endfunction()

version_of_git(RLHFD_VERSION)
file(STRINGS ${CMAKE_SOURCE_DIR}/cmake/version.txt archived LIMIT_COUNT 1)
if(NOT RLHFD_VERSION AND archived MATCHES "^v([0-9].*)$")
    set(RLHFD_VERSION ${CMAKE_MATCH_1})
elseif(NOT RLHFD_VERSION)
    set(RLHFD_VERSION ${PROJECT_VERSION})
endif()
configure_file(${CMAKE_SOURCE_DIR}/cmake/version.c.in ${CMAKE_BINARY_DIR}/version.c @ONLY)
