# SPDX-License-Identifier: MIT
#
# libmem-gdb.py - the command `mem` in gdb: asks the tool mem about the program that gdb looks at.
#
#     (gdb) mem find p->next         what lies at an address
#     (gdb) mem refs p               what leads to an object
#     (gdb) mem map                  the heap as a picture; also sizes, leaks, owners, check, history
#
# gdb loads this file by itself when a program has the library beside which it lies. It works on a
# process that gdb has stopped, and on a core file. (It takes the place of gdb's own command `mem`,
# which sets attributes of memory regions.)

import os
import re
import subprocess

import gdb

# The commands whose arguments are addresses: gdb evaluates them as expressions.
OF_ADDRESSES = ('find', 'refs', 'history')


# gdb says only while it loads this file where that is.
HERE = os.path.dirname(os.path.realpath(__file__))


def path_of_tool():
    for folder in (HERE, os.path.join(HERE, '..', 'bin')):
        path = os.path.join(folder, 'mem')
        if os.access(path, os.X_OK):
            return path
    return 'mem'


def target():
    """The core file or the process id, as mem takes it."""
    core = re.search(r"core dump file:\s*`(.*)', file type",
                     gdb.execute('info target', to_string=True))
    if core:
        return core.group(1)
    if gdb.selected_inferior().pid > 0:
        return str(gdb.selected_inferior().pid)
    raise gdb.GdbError('There is no process and no core file.')


def address_of(expression):
    mask = (1 << 64) - 1
    value = gdb.parse_and_eval(expression)
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_FUNC:
        value = value.address
    return hex(int(value) & mask)


class Mem(gdb.Command):
    """Look into the heap of the program (libmem).
Usage: mem find EXPRESSION..., mem refs [--down] EXPRESSION, mem history EXPRESSION,
mem map, mem sizes, mem leaks, mem owners, mem check.
Arguments that begin with - are options of the tool: mem find --help"""

    def __init__(self):
        super().__init__('mem', gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not words:
            raise gdb.GdbError('Say what: find, refs, history, map, sizes, leaks, owners or check.')
        options = [w for w in words[1:] if w.startswith('-')]
        others = [w for w in words[1:] if not w.startswith('-')]
        if words[0] in OF_ADDRESSES:
            others = [address_of(w) for w in others]
        gdb.flush()
        environment = dict(os.environ)
        environment.pop('LD_PRELOAD', None)
        try:
            done = subprocess.run([path_of_tool(), words[0], *options, target(), *others],
                                  env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
        except OSError as why:
            raise gdb.GdbError('mem cannot be run: ' + str(why))
        gdb.write(done.stdout)


Mem()
