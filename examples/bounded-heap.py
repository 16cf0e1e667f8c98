#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# bounded-heap.py - shows how to use a heap of mem_heap.h from Python, by ctypes alone.
#
#     LD_LIBRARY_PATH=build python3 examples/bounded-heap.py
#
# The heap lies in a buffer of Python and has a limit of 100,000 bytes. The program fills it,
# asks what lies at addresses inside its objects, and passes an address that is wrong.

import ctypes
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_void_p

OK, BYTES, LIMIT = 0, 256 << 10, 100000


class Piece(ctypes.Structure):
    _fields_ = [('start', c_void_p), ('size', c_size_t), ('live', c_bool), ('heap', c_void_p)]


OnExhausted = ctypes.CFUNCTYPE(c_bool, c_void_p, c_size_t, c_void_p)
OnRefused = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int, c_void_p)
Visitor = ctypes.CFUNCTYPE(c_bool, POINTER(Piece), c_void_p)


class Options(ctypes.Structure):
    _fields_ = [('flags', c_uint), ('style', c_int), ('fill_new', c_ubyte),
                ('fill_freed', c_ubyte), ('limit', c_size_t), ('on_exhausted', OnExhausted),
                ('on_refused', OnRefused), ('context', c_void_p)]


# Without these types ctypes would cut off the upper half of an address.
LIBRARY = ctypes.CDLL('libmem.so.1')
for name, result, *arguments in [
        ('mem_heap_in', c_void_p, c_void_p, c_size_t, POINTER(Options)),
        ('mem_heap_destroy', c_int, c_void_p),
        ('mem_alloc', c_void_p, c_void_p, c_size_t),
        ('mem_free', c_int, c_void_p, c_void_p),
        ('mem_find', c_int, c_void_p, POINTER(Piece)),
        ('mem_walk', c_int, c_void_p, Visitor, c_void_p),
        ('mem_last_error', c_int),
        ('mem_strerror', c_char_p, c_int)]:
    function = getattr(LIBRARY, name)
    function.restype, function.argtypes = result, arguments
    globals()[name] = function


def text(result):
    return mem_strerror(result).decode()


def describe(what, address):
    piece = Piece()
    result = mem_find(address, byref(piece))
    if result != OK:
        print(f'{what}: {text(result)}')
    elif piece.live:
        print(f'{what}: byte {address - piece.start} of an object of {piece.size} bytes')
    else:
        print(f'{what}: free memory')


def count_live(heap):
    sizes = []
    visit = Visitor(lambda piece, _: piece[0].live and sizes.append(piece[0].size) or True)
    assert mem_walk(heap, visit, None) == OK
    return len(sizes), sum(sizes)


def on_refused(heap, address, why, context):
    print(f'the heap refuses an address: {text(why)}')


buffer = ctypes.create_string_buffer(BYTES + 16)
options = Options(limit=LIMIT, on_refused=OnRefused(on_refused))
heap = mem_heap_in(-(-ctypes.addressof(buffer) // 16) * 16, BYTES, byref(options))
assert heap is not None, text(mem_last_error())

objects = list(iter(lambda: mem_alloc(heap, 700), None))  # until it returns NULL
print(f'{len(objects)} objects of 700 bytes, then: {text(mem_last_error())}')
print('the walk finds %d objects, of %d bytes in all' % count_live(heap))

first, second = objects[:2]
describe('the last byte of the first object', first + 699)
describe('one past the end of it', first + 700)
describe('a variable', ctypes.addressof(options))
mem_free(heap, second + 1)  # is refused, and changes nothing
describe('the second object after that', second)
mem_free(heap, second)
describe('and after it was freed', second)

for address in set(objects) - {second}:
    assert mem_free(heap, address) == OK
print('at the end: %d objects, of %d bytes in all' % count_live(heap))
assert mem_heap_destroy(heap) == OK
