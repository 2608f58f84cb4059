//! [`FixedKeys`] against `attention` in `f32` with the same keys, in both precisions, on the CPU and
//! on the emulated GPU.

use super::*;
use crate::backend::gpu::emulated::{emulated, schedules};

const PRECISIONS: [(Precision, f64); 2] = [(Precision::F32, 1e-5), (Precision::Bf16, 2e-2)];

/// Lengths of queries and keys, without a mask and a bias; `group` heads of queries share each of
/// `kv_heads` heads of keys.
fn fixed_case(q: &[usize], k: &[usize], kv_heads: usize, group: usize, d_kv: usize) -> Case {
    Case {
        heads: kv_heads * group,
        kv_heads,
        d_kv,
        ..case(q, k, false, false, 0.3)
    }
}

/// Lengths around the borders of tiles and strips, a sequence without queries and one without keys.
fn cases() -> Vec<Case> {
    vec![
        fixed_case(&[1], &[1], 1, 1, 1),
        fixed_case(&[1, 1, 1], &[7, 32, 33], 2, 1, 64),
        fixed_case(&[4, 0, 4, 2], &[31, 5, 100, 0], 3, 1, 16),
        fixed_case(&[1, 3, 0, 1], &[200, 65, 9, 1], 3, 3, 20),
        fixed_case(&[40, 9], &[1300, 64], 1, 2, 8),
    ]
}

/// The same values on another device.
fn moved<B: Backend>(device: &B, x: &Var<Host>) -> Var<B> {
    Var::constant(device.tensor(device.upload(x.slice().to_vec()), x.shape()))
}

fn close_to<B: Backend>(device: &B, name: &str, y: &Var<B>, expected: &Var<Host>, tolerance: f64) {
    let expected: Vec<f64> = expected.slice().iter().copied().map(f64::from).collect();
    let y = device.download(y.slice());
    assert_norm_close(name, &y, &expected, 1e-3, tolerance);
}

fn check<B: Backend>(device: &B, case: &Case, tolerance: f64) {
    let inputs = case.inputs();
    let layout = case.layout(None);
    let host = Host::new();
    let mut graph = Graph::inference(&host);
    let expected = attention(
        &mut graph, &inputs[0], &inputs[1], &inputs[2], None, &layout,
    );

    let [q, k, v] = [0, 1, 2].map(|i| moved(device, &inputs[i]));
    let fixed = FixedKeys::new(device, &k, &v, &layout.kv_offsets, case.kv_heads);
    assert_eq!(fixed.tokens(), k.shape().0);
    let part = fixed.attention_part(device, &q, &layout);
    let y = merge_parts(device, vec![part], q.shape(), case.heads);
    close_to(device, &format!("{case:?}"), &y, &expected, tolerance);
    device.check().unwrap();
}

/// Keys in two places: how much each part weighs has to be right, too.
fn check_parts<B: Backend>(device: &B, tolerance: f64) {
    let case = fixed_case(&[11], &[90], 2, 2, 16);
    let inputs = case.inputs();
    let host = Host::new();
    let mut graph = Graph::inference(&host);
    let whole = case.layout(None);
    let expected = attention(&mut graph, &inputs[0], &inputs[1], &inputs[2], None, &whole);

    let q = moved(device, &inputs[0]);
    let part = |first: usize, count: usize, shared_keys: bool| {
        let [k, v] = [1, 2].map(|i| moved(device, &rows(&host, &inputs[i], first, count)));
        // That all queries see the same keys may be said in two ways.
        let q = if shared_keys { &[4, 0, 7][..] } else { &[11] };
        let layout = Layout {
            q_offsets: offsets(q),
            kv_offsets: offsets(&[count]),
            shared_keys,
            ..whole.clone()
        };
        let fixed = FixedKeys::new(device, &k, &v, &layout.kv_offsets, case.kv_heads);
        fixed.attention_part(device, &moved(device, &inputs[0]), &layout)
    };
    let parts = vec![part(0, 37, true), part(37, 0, false), part(37, 53, false)];
    let y = merge_parts(device, parts, q.shape(), case.heads);
    close_to(device, "parts", &y, &expected, tolerance);
    device.check().unwrap();
}

#[test]
fn fixed_keys_give_what_the_same_keys_give_elsewhere() {
    for (precision, tolerance) in PRECISIONS {
        let host = Host::with_precision(precision);
        cases()
            .iter()
            .for_each(|case| check(&host, case, tolerance));
        check_parts(&host, tolerance);
    }
}

#[test]
fn fixed_keys_are_the_same_on_the_gpu() {
    for &schedule in schedules() {
        for (precision, tolerance) in PRECISIONS {
            let gpu = emulated(precision, schedule);
            cases().iter().for_each(|case| check(&gpu, case, tolerance));
            check_parts(&gpu, tolerance);
        }
    }
}

/// Neither on the other queries of its sequence, nor on the number of threads.
#[test]
fn what_a_query_finds_at_fixed_keys_does_not_depend_on_others() {
    let case = fixed_case(&[4, 37], &[70, 300], 2, 3, 64);
    let inputs = case.inputs();
    for precision in [Precision::F32, Precision::Bf16] {
        let host = Host::with_precision(precision);
        let run = |q: &Var<Host>, lengths: &[usize]| {
            let layout = Layout {
                q_offsets: offsets(lengths),
                ..case.layout(None)
            };
            let fixed = FixedKeys::new(&host, &inputs[1], &inputs[2], &layout.kv_offsets, 2);
            fixed.attention_part(&host, q, &layout).y
        };
        let all = run(&inputs[0], &[4, 37]);
        let width = inputs[0].shape().1;
        // With few queries `f32` goes another way than with many.
        let few = rows(&host, &inputs[0], 2, 1);
        assert_eq!(run(&few, &[1, 0]), all[2 * width..][..width]);
        let many = rows(&host, &inputs[0], 0, 24);
        assert_eq!(run(&many, &[4, 20]), all[..24 * width]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let again = pool.unwrap().install(|| {
            let inputs = case.inputs();
            let layout = case.layout(None);
            let fixed = FixedKeys::new(&host, &inputs[1], &inputs[2], &layout.kv_offsets, 2);
            fixed.attention_part(&host, &inputs[0], &layout).y
        });
        assert_eq!(again, all);
    }
}

#[test]
#[should_panic(expected = "all of them are seen")]
fn a_mask_over_fixed_keys_is_a_mistake() {
    let case = fixed_case(&[2], &[2], 1, 1, 4);
    let inputs = case.inputs();
    let layout = Layout {
        causal: true,
        ..case.layout(None)
    };
    let host = Host::new();
    let fixed = FixedKeys::new(&host, &inputs[1], &inputs[2], &layout.kv_offsets, 1);
    let _ = fixed.attention_part(&host, &inputs[0], &layout);
}
