# cmake --install BUILD --prefix X: programs and backend modules in X/bin, where each finds the others; examples, documents, licence
# and completion scripts below X/share.
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
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES docs/recipe.md docs/rlhfctl.md docs/benchmarks.md docs/live-lag.svg docs/off-policy.svg DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
