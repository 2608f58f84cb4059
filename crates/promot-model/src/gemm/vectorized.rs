//! Loops over numbers, compiled for what the processor has.

/// Defines functions that run compiled for AVX-512, or for AVX2, where the processor has it.
///
/// Without it, loops are compiled for the oldest x86-64 and run at a quarter of the speed. A macro
/// and no higher-order function, because a closure's body is compiled for wide vectors only if the
/// optimiser happens to inline it.
macro_rules! vectorized {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)?
        $body:block
    )+) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn widest($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn wide($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has the features that `widest` is compiled for.
                    return unsafe { widest($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the features that `wide` is compiled for.
                    return unsafe { wide($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    )+};
}
pub(crate) use vectorized;
