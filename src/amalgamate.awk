# SPDX-License-Identifier: MIT
#
# amalgamate.awk - prints the library as one C file, from the template amalgamation.in and the
# source files that the command line names. It runs in the folder above src:
#
#     awk -v version=0.9.0 -f src/amalgamate.awk src/base/grace.c src/base/os.c ...
#
# Each file comes after the headers that it includes, and each header comes once. Of the text of a
# source file, three things change:
#
#   - The system's headers are all included where the first of them is, so that no macro of the
#     library changes one. An #include within an #if stays where it is.
#   - What an internal header declares becomes static. C lets the definition of a function inherit
#     that from its prototype, but the definition of a variable must repeat it.
#   - The include guards of internal headers go.

BEGIN {
    while (next_line("src/amalgamation.in"))
        if (line == "@LICENSE@")
            put_licence()
        else if (line == "@FILES@")
            for (i = 1; i < ARGC; i++)
                take(ARGV[i])
        else {
            gsub(/@VERSION@/, version, line)
            put(line)
        }
    for (i = 1; i <= nlines; i++)
        print lines[i]
}

function fail(message)
{
    print "amalgamate.awk: " message >"/dev/stderr"
    exit 1
}

# Reads the next line of the file into `line`. Returns 0 at its end.
function next_line(path,    result)
{
    result = (getline line <path)
    if (result < 0)
        fail(path " cannot be read")
    if (result == 0)
        close(path)
    return result
}

function put(text)
{
    if (text != "" || lines[nlines] != "") # one empty line at a time
        lines[++nlines] = text
}

function put_licence()
{
    while (next_line("LICENSE"))
        put(line == "" ? " *" : " * " line)
}

# Puts a file after those that it includes, unless it has been put.
function take(path,    words)
{
    if (path in is_taken)
        return
    is_taken[path] = 1
    while (next_line(path))
        if (line ~ /^#include "/) {
            split(line, words, "\"")
            take((words[2] ~ /\// ? "src/" : "include/") words[2])
        }
    put("")
    put("/* ==== " path " ==== */")
    depth = 0
    while (next_line(path))
        if (path ~ /^include\//)
            put(line)
        else
            put_internal(path ~ /\.h$/)
}

# Puts `line` of an internal file, or what becomes of it. An include guard counts in `depth`.
function put_internal(is_header)
{
    if (line ~ /^#if/)
        depth++
    if (line ~ /^#endif/)
        depth--
    if (line ~ /^#(ifndef|define) [A-Z_]+_H$/ || (is_header && line ~ /^#endif/ && depth == 0))
        return
    if (line ~ /^#include </ && depth == is_header)
        put_system_header()
    else if (line !~ /^#include "/) {
        make_static(is_header)
        put(line)
    }
}

# The line of the first one becomes the lines of all.
function put_system_header()
{
    if (place == 0) {
        put(line)
        place = nlines
    } else if (!(line in is_taken))
        lines[place] = lines[place] "\n" line
    is_taken[line] = 1
}

# Makes `line` static if it begins what files of the library share: a prototype or a variable in a
# header, or the definition of such a variable.
function make_static(is_header,    name)
{
    if (line !~ /^[A-Za-z]/ || line ~ /static|typedef|[{]/)
        return
    name = line
    sub(/ *[=;].*/, "", name)
    sub(/.*[ *]/, "", name)
    if (is_header && sub(/^extern /, "", line))
        is_shared[name] = 1
    if (name in is_shared || (is_header && line ~ /[ *][a-z_0-9]+\(/))
        line = "static " line
}
