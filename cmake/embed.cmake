# cmake -DIN=file -DOUT=file.c -P embed.cmake: a file's bytes as a C array named after it.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
get_filename_component(name ${IN} NAME_WE)
file(WRITE ${OUT} "#include <stddef.h>\nconst unsigned char ${name}[] = {${bytes}0};\nconst size_t ${name}_len = sizeof ${name} - 1;\n")
