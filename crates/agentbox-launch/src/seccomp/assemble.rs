//! Rules to BPF (seccomp(2), Documentation/userspace-api/seccomp_filter.rst).
//!
//! The program is a chain: for each system call that is ruled, one comparison of its number and, where
//! the rule looks at arguments, a block behind it, and at the end what holds for every other call. Linux 5.11 and later
//! precompute which calls a filter always allows, so the length of the chain costs nothing there.
//!
//! Arguments are compared by their lower 32 bits wherever the kernel itself takes an `int`: it ignores
//! the upper half, so a filter that looked at it could be passed by setting a bit there.

use libc::sock_filter;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// Fails with this `errno`.
    Errno(i32),
}

/// A condition on the lower 32 bits of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// Argument equals the value.
    Equal(u8, u32),
    /// Argument has any of the bits.
    AnyOf(u8, u32),
}

/// One case of a call: when all tests hold, the verdict; the first case that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) when: Vec<Test>,
    pub(super) then: Verdict,
}

/// A ruled system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) number: libc::c_long,
    pub(super) cases: Vec<Case>,
    pub(super) otherwise: Verdict,
}

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xC000_00B7;

/// First number that marks a call as x32 (arch/x86/include/uapi/asm/unistd.h).
const X32_BIT: u32 = 0x4000_0000;

/// Highest number of Linux 6.18 (file_setattr). What later kernels add is not there yet, so that no
/// call reaches the kernel that nobody has judged.
const HIGHEST: u32 = 469;

const LD_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JGT: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const JSET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const JA: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;

fn offset_argument(index: u8) -> u32 {
    // struct seccomp_data: six u64 from byte 16; little-endian, so the lower half comes first.
    16 + 8 * u32::from(index)
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn ret(verdict: Verdict) -> sock_filter {
    statement(
        RET,
        match verdict {
            Verdict::Allow => libc::SECCOMP_RET_ALLOW,
            Verdict::Errno(errno) => libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA),
        },
    )
}

/// The whole program. A call without a rule gets `otherwise`.
pub(super) fn program(rules: &[Rule], otherwise: Verdict) -> Vec<sock_filter> {
    let unknown = ret(Verdict::Errno(libc::ENOSYS));
    let mut program = vec![
        // i386 by int 0x80 has other numbers: nothing of it is there.
        statement(LD_ABS, OFFSET_ARCH),
        jump(JEQ, AUDIT_ARCH, 1, 0),
        unknown,
        statement(LD_ABS, OFFSET_NUMBER),
        // One comparison refuses both x32 (numbers with X32_BIT) and calls newer than this filter.
        jump(JGT, HIGHEST, 0, 1),
        unknown,
    ];
    const { assert!(HIGHEST < X32_BIT) };
    for rule in rules {
        let block = block(rule);
        let number = rule.number as u32;
        // Conditional jumps reach 255 instructions; a longer block is passed by an unconditional one.
        program.push(jump(JEQ, number, 1, 0));
        program.push(statement(JA, block.len() as u32));
        program.extend(block);
    }
    program.push(ret(otherwise));
    program
}

/// What a ruled call runs; always ends in a return.
fn block(rule: &Rule) -> Vec<sock_filter> {
    let mut block = Vec::new();
    for case in &rule.cases {
        let mut tests = Vec::new();
        for (position, test) in case.when.iter().enumerate() {
            // From the jump of this test to the first instruction behind the case's return: the
            // remaining tests (two instructions each) and the return itself.
            let past = 2 * (case.when.len() - position - 1) + 1;
            let past = past as u8;
            let (argument, jump) = match *test {
                Test::Equal(argument, value) => (argument, jump(JEQ, value, 0, past)),
                Test::AnyOf(argument, bits) => (argument, jump(JSET, bits, 0, past)),
            };
            tests.push(statement(LD_ABS, offset_argument(argument)));
            tests.push(jump);
        }
        block.extend(tests);
        block.push(ret(case.then));
    }
    block.push(ret(rule.otherwise));
    block
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Runs a program as the kernel would (only the instructions that are generated here).
    pub(in crate::seccomp) fn run(
        program: &[sock_filter],
        arch: u32,
        number: u32,
        arguments: [u64; 6],
    ) -> u32 {
        let load = |offset: u32| match offset {
            OFFSET_NUMBER => number,
            OFFSET_ARCH => arch,
            _ => {
                let index = (offset - 16) as usize;
                let whole = arguments[index / 8].to_le_bytes();
                let at = index % 8;
                u32::from_le_bytes([whole[at], whole[at + 1], whole[at + 2], whole[at + 3]])
            }
        };
        let (mut at, mut accumulator) = (0_usize, 0_u32);
        loop {
            let instruction = program[at];
            at += 1;
            match instruction.code {
                LD_ABS => accumulator = load(instruction.k),
                JA => at += instruction.k as usize,
                RET => return instruction.k,
                code => {
                    let holds = match code {
                        JEQ => accumulator == instruction.k,
                        JGT => accumulator > instruction.k,
                        JSET => accumulator & instruction.k != 0,
                        other => panic!("instruction {other:#x} is not one of ours"),
                    };
                    at += usize::from(if holds { instruction.jt } else { instruction.jf });
                }
            }
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    fn errno(number: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | number as u32
    }

    #[test]
    fn the_first_case_whose_tests_all_hold_decides() {
        let rule = Rule {
            number: 7,
            cases: vec![
                Case { when: vec![Test::Equal(0, 1), Test::AnyOf(1, 6)], then: Verdict::Errno(1) },
                Case { when: vec![Test::Equal(0, 1)], then: Verdict::Errno(2) },
            ],
            otherwise: Verdict::Allow,
        };
        let program = program(&[rule], Verdict::Allow);
        let run = |first, second| run(&program, AUDIT_ARCH, 7, [first, second, 0, 0, 0, 0]);
        assert_eq!(run(1, 2), errno(1));
        assert_eq!(run(1, 4), errno(1));
        assert_eq!(run(1, 8), errno(2));
        assert_eq!(run(2, 6), ALLOW);
    }

    #[test]
    fn other_architectures_and_unknown_numbers_are_not_there() {
        let program = program(&[], Verdict::Allow);
        assert_eq!(run(&program, 0x4000_0003, 20, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(run(&program, AUDIT_ARCH, X32_BIT | 1, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(run(&program, AUDIT_ARCH, HIGHEST + 1, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(run(&program, AUDIT_ARCH, u32::MAX, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(run(&program, AUDIT_ARCH, 0, [0; 6]), ALLOW);
    }
}
