//! The program that the kernel asks before a trigger file of a project comes to be, as an ELF object.
//!
//! `bpf/guard.bpf.c` says what it does and which maps it reads. It is a crate of its own because only it needs
//! clang; agentboxd hands the object to `agentbox_kernel::guard`, which loads it and fills the maps.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Readers of ELF want its headers at multiples of eight.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/guard.bpf.o")));

/// The object.
pub static OBJECT: &[u8] = &ALIGNED.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_one_for_the_kernels_machine() {
        // elf(5): the magic, 64 bit; e_machine 247 is EM_BPF.
        assert_eq!(&OBJECT[..5], b"\x7fELF\x02");
        assert_eq!(OBJECT[18..20], 247_u16.to_le_bytes());
        assert_eq!(OBJECT.as_ptr() as usize % 8, 0);
    }
}
