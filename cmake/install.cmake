# cmake --install BUILD --prefix X: programs and backend modules in X/bin, where each finds the others; examples, documents, licence,
# manual pages and completion scripts below X/share.
include(GNUInstallDirs)
set(completions ${CMAKE_BINARY_DIR}/completions)
add_custom_command(
    OUTPUT ${completions}/rlhfctl ${completions}/_rlhfctl
    COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
    COMMAND rlhfctl completion bash > ${completions}/rlhfctl
    COMMAND rlhfctl completion zsh > ${completions}/_rlhfctl
    DEPENDS rlhfctl
    VERBATIM)
add_custom_target(completions ALL DEPENDS ${completions}/rlhfctl ${completions}/_rlhfctl)
install(FILES ${completions}/rlhfctl DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${completions}/_rlhfctl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/rlhfd USE_SOURCE_PERMISSIONS
    PATTERN data EXCLUDE PATTERN __pycache__ EXCLUDE)
# All documents that README leads to, under the same paths.
install(FILES LICENSE README.md CHANGELOG.md ARCHITECTURE.md STYLE.md DECISIONS.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs deploy DESTINATION ${CMAKE_INSTALL_DOCDIR} USE_SOURCE_PERMISSIONS)
install(DIRECTORY examples/recipes DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples USE_SOURCE_PERMISSIONS)
install(PROGRAMS examples/reward.py DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)

# Manual pages, from what the programs say of themselves.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
    set(manual ${CMAKE_BINARY_DIR}/man)
    set(pages rlhfctl.1 rlhfd-recipe.5 rlhfd-learner.8 rlhfd-generator.8 rlhfd-rewarder.8)
    list(TRANSFORM pages PREPEND ${manual}/ OUTPUT_VARIABLE page_files)
    add_custom_command(
        OUTPUT ${page_files}
        COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/man.py $<TARGET_FILE_DIR:rlhfctl> ${manual} ${RLHFD_VERSION}
        DEPENDS rlhfctl rlhfd-generator rlhfd-rewarder rlhfd-learner ${CMAKE_SOURCE_DIR}/cmake/man.py
        VERBATIM)
    add_custom_target(manual ALL DEPENDS ${page_files})
    foreach(page ${page_files})
        string(REGEX REPLACE ".*\\." "" section ${page})
        install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
    endforeach()
endif()
