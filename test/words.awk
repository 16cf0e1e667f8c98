# SPDX-License-Identifier: MIT
#
# words.awk - reads C, C++, scripts, Markdown and manual pages, and prints the places that
# test/words.sh looks for, as KIND FILE:LINE: TEXT:
#
#     words    a banned word in a comment or a document
#     width    a line of more than 100 columns; rows of tables and what programs print, indented
#              by four spaces, are exempt in Markdown
#     opening  a .c file of src or tools whose first comment has no sentence
#
# and "share FOLDER NCOMMENTS NLINES" for each folder of src: lines of .c files with a comment, and
# all lines.
#
#     LC_ALL=C awk -f words.awk FILE...
#
# A comment of C is everything between its marks, outside of strings and character constants. A
# comment of a script is a line that begins with "#", indented or not. A document is comment from
# end to end, except for code: between two lines of ```, in backticks, or indented by four spaces.

function place(kind, text) { print kind " " FILENAME ":" FNR ": " text }

function kind_of(name) {
    if (name ~ /\.(c|h|cc|cpp|hpp|pml)$/) return "c"
    if (name ~ /\.(md|[1-9])$/) return "md"
    return "script"
}

# Of one line of C what is comment. in_comment is carried on from line to line.
function comment_of_c(line,    out, i, c, two) {
    out = ""
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        two = substr(line, i, 2)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++; out = out " " } else out = out c
        } else if (quote != "") {
            if (c == "\\") i++
            else if (c == quote) quote = ""
        } else if (two == "/*") { in_comment = 1; i++ }
        else if (two == "//") { out = out substr(line, i + 2); break }
        else if (c == "\"" || c == "'") quote = c
    }
    if (line !~ /\\$/) quote = ""
    return out
}

# Characters, not bytes: the bytes that continue a character of UTF-8 are not counted.
function columns(line) {
    gsub(/[\200-\277]/, "", line)
    return length(line)
}

function comment_of_document(line) {
    if (line ~ /^ *```/) { fenced = !fenced; return "" }
    if (fenced || line ~ /^    /) return ""
    gsub(/`[^`]*`/, "", line)
    return line
}

# `before` is the last character of comment before the line, or "." where a sentence begins.
function look_for_words(text,    t, i) {
    t = " " tolower(text) " "
    gsub(/'s/, " ", t)
    gsub(/[^a-z]+/, " ", t)
    # Two words may stand on two lines.
    t = carried t
    carried = ""
    if (match(t, / (no more|no|so) $/)) {
        carried = substr(t, RSTART, RLENGTH - 1)
        t = substr(t, 1, RSTART)
    }
    gsub(/ no more than /, " at most ", t)
    for (i = 1; i <= nbanned; i++)
        if (index(t, " " banned[i] " ")) place("words", "\"" banned[i] "\": " text)
    sub(/^[ *#]+/, "", text)
    if (text ~ /(^|[.:;!?] +)The same([^A-Za-z]|$)/ && (text !~ /^The same/ || before ~ /[.:;!?]/ ||
        text ~ /[.:;!?] +The same/))
        place("words", "\"The same\" at the start of a sentence: " text)
    sub(/ +$/, "", text)
    before = text == "" ? "." : substr(text, length(text))
}

# The opening is the first comment without the licence line: it has to have a full stop.
function end_file() {
    if (file ~ /^(src|tools)\/.*\.c$/ && opening !~ /[a-z)][.]( |$)/)
        print "opening " file ":1: the first comment has no sentence"
}

BEGIN {
    nbanned = split("who,whoever,somebody,nobody,anybody,no more,so many", banned, ",")
}

FNR == 1 {
    if (file != "") end_file()
    file = FILENAME
    type = kind_of(file)
    in_comment = fenced = opening_done = 0
    quote = opening = ""
    before = "."
    folder = ""
    if (file ~ /^src\/[a-z]+\/[a-z_0-9]+\.c$/) { folder = file; sub(/\/[^\/]*$/, "", folder) }
}

{
    if (columns($0) > 100 && !(type == "md" && $0 ~ /^( *\||    )/))
        place("width", columns($0) " columns")
    if (type == "c") {
        was_in = in_comment
        text = comment_of_c($0)
        has_comment = was_in || in_comment || text != ""
        if (folder != "") { nlines[folder]++; ncomments[folder] += has_comment }
        if (!has_comment) opening_done = 1
        else if (!opening_done && text !~ /SPDX/) {
            t = text
            sub(/^ *\*? */, "", t)
            opening = opening t " "
        }
    } else if (type == "md") text = comment_of_document($0)
    else text = $0 ~ /^[ \t]*#/ ? $0 : ""
    if (text != "" && text !~ /SPDX/) look_for_words(text)
    else {
        before = "."
        carried = ""
    }
}

END {
    if (file != "") end_file()
    for (f in nlines) print "share " f " " ncomments[f] + 0 " " nlines[f]
}
