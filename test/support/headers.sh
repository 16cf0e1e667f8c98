# SPDX-License-Identifier: MIT
#
# headers.sh - prints what a header of include/ declares. Scripts read it with the command `.`, in
# the root of the tree.
# shellcheck shell=bash

# Prints the names of the functions that a header declares, one a line.
functions_of() { # header
    gcc -fsyntax-only -aux-info /dev/stdout "$1" |
        sed -n 's,^/\* include/.* \**\([A-Za-z_]*\) (.*,\1,p'
}

# Prints a header without its comments.
code_of() { # header
    gcc -fpreprocessed -dD -E -P "$1"
}

# Prints the names of the constants of a header: those of enumerations, and of macros with a value.
constants_of() { # header
    code_of "$1" | grep -oE '^ +[A-Z_]+( = [^,]*)?,?$|^#define MEM_[A-Z_]+ +\(' |
        grep -oE '\b[A-Z_]{2,}' | sort -u
}

# Prints the names of the members of the structs of a header.
members_of() { # header
    code_of "$1" | sed -n '/struct.*{$/,/^}/{ /^}/!p; }' |
        grep -oE '[a-z_]+(\)\(|[,;])' | grep -oE '^[a-z_]+'
}
