// SPDX-License-Identifier: MIT
//
// global-alloc.rs - shows how to make a heap of mem_heap.h the allocator of a Rust program.
//
//     rustc -O -L build -o build/examples/global-alloc examples/global-alloc.rs
//     LD_LIBRARY_PATH=build build/examples/global-alloc
//
// All that the program allocates comes from one heap of 4 MiB. The program asks for more than
// that, asks what lies at an address inside a vector, and frees an address that is wrong.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_void, CStr};
use std::os::raw::{c_char, c_int};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::Relaxed};
use std::sync::Once;

const MEM_OK: c_int = 0;
const BYTES: usize = 4 << 20;

#[repr(C)]
struct MemPiece {
    start: *mut c_void,
    size: usize,
    live: bool,
    heap: *mut c_void,
}

#[link(name = "mem")]
extern "C" {
    fn mem_heap_create(nbytes: usize, options: *const c_void) -> *mut c_void;
    fn mem_aligned(heap: *mut c_void, size: usize, align: usize) -> *mut u8;
    fn mem_resize(heap: *mut c_void, object: *mut u8, size: usize) -> *mut u8;
    fn mem_free(heap: *mut c_void, object: *mut u8) -> c_int;
    fn mem_find(address: *const c_void, found: *mut MemPiece) -> c_int;
    fn mem_check(heap: *mut c_void, wrong: *mut *const c_char) -> c_int;
    fn mem_strerror(result: c_int) -> *const c_char;
}

struct OnHeap;

#[global_allocator]
static ALLOCATOR: OnHeap = OnHeap;
static HEAP: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static LAST_REFUSAL: AtomicI32 = AtomicI32::new(MEM_OK);

// The first allocation, which comes before main, makes the heap.
fn heap() -> *mut c_void {
    static START: Once = Once::new();
    START.call_once(|| HEAP.store(unsafe { mem_heap_create(BYTES, null()) }, Relaxed));
    HEAP.load(Relaxed)
}

unsafe impl GlobalAlloc for OnHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        mem_aligned(heap(), layout.size(), layout.align())
    }

    // An allocator must not panic, so a refusal is only noted.
    unsafe fn dealloc(&self, object: *mut u8, _: Layout) {
        let result = mem_free(heap(), object);
        if result != MEM_OK {
            LAST_REFUSAL.store(result, Relaxed);
        }
    }

    // An object that mem_resize moves is at a multiple of 16, but perhaps not of more.
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= 16 {
            return mem_resize(heap(), object, size);
        }
        let moved = mem_aligned(heap(), size, layout.align());
        if !moved.is_null() {
            object.copy_to_nonoverlapping(moved, size.min(layout.size()));
            self.dealloc(object, layout);
        }
        moved
    }
}

fn main() {
    let numbers: Vec<u64> = (0..1000).collect();
    let mut large: Vec<u8> = Vec::new();
    println!("5 MiB: {}", if large.try_reserve(5 << 20).is_err() { "refused" } else { "granted" });

    let mut found = MemPiece { start: null_mut(), size: 0, live: false, heap: null_mut() };
    let inside = &numbers[500] as *const u64 as *const c_void;
    if unsafe { mem_find(inside, &mut found) } == MEM_OK && found.heap == heap() {
        let offset = inside as usize - found.start as usize;
        println!("the 501st number is byte {} of an object of {} bytes", offset, found.size);
    }

    let wrong = &numbers[1] as *const u64 as *mut u8;
    unsafe { ALLOCATOR.dealloc(wrong, Layout::new::<u64>()) };
    let why = unsafe { CStr::from_ptr(mem_strerror(LAST_REFUSAL.load(Relaxed))) };
    println!("a free of the second number: {}", why.to_str().unwrap());

    let is_sound = unsafe { mem_check(heap(), null_mut()) } == MEM_OK;
    println!("the sum is {}, and the heap is sound: {}", numbers.iter().sum::<u64>(), is_sound);
}
