//! `embedding` against a loop and finite differences, with prompts, without, and with empty ones.

use super::*;
use crate::ops::testing::{self, leaf};

fn batch() -> (Ragged, [Option<usize>; 4]) {
    let inputs = Ragged::from_rows([[1u32, 4, 1].as_slice(), &[2], &[], &[0, 3]]);
    (inputs, [Some(0), None, Some(1), Some(0)])
}

#[test]
fn places_prompt_rows_before_token_rows() {
    let (table, long, empty) = (leaf((5, 3), 1), leaf((2, 3), 2), leaf((0, 3), 3));
    let (inputs, prompt_of) = batch();
    let mut graph = Graph::inference(&crate::backend::Host::new());
    let prompts = [long.clone(), empty];
    let (y, offsets) = embedding(&mut graph, &table, &prompts, &inputs, &prompt_of);
    assert_eq!(*offsets, [0, 5, 6, 6, 10]);
    let row = |var: &Var<crate::backend::Host>, i: usize| var.slice()[i * 3..][..3].to_vec();
    let expected: Vec<Vec<f32>> = [(true, 0), (true, 1), (false, 1), (false, 4), (false, 1)]
        .into_iter()
        .chain([(false, 2), (true, 0), (true, 1), (false, 0), (false, 3)])
        .map(|(prompt, i)| row(if prompt { &long } else { &table }, i))
        .collect();
    assert_eq!(y.slice(), expected.concat());
}

#[test]
fn gradients_equal_a_loop_and_finite_differences() {
    let inputs = [leaf((5, 3), 4), leaf((2, 3), 5), leaf((1, 3), 6)];
    let (ids, prompt_of) = batch();
    let (y, gradients) = testing::run!(&inputs, |g, v| embedding(
        g,
        &v[0],
        &v[1..],
        &ids,
        &prompt_of
    )
    .0);
    let weights = testing::output_weights(y.len());
    // Token 1 stands at output rows 2 and 4; the first prompt at rows 0-1 and 7-8.
    for column in 0..3 {
        let at = |row: usize| weights[row * 3 + column];
        assert!((gradients[0][3 + column] - at(2) - at(4)).abs() < 1e-6);
        assert!((gradients[1][column] - at(0) - at(7)).abs() < 1e-6);
    }
    testing::check_finite_differences!("embedding", &inputs, 2e-3, |g, v| {
        embedding(g, &v[0], &v[1..], &ids, &prompt_of).0
    });
}

/// More columns than the GPU has threads for a row.
#[test]
fn rows_may_be_wide() {
    let inputs = [leaf((5, 300), 4), leaf((2, 300), 5), leaf((1, 300), 6)];
    let (ids, prompt_of) = batch();
    let (y, gradients) = testing::run!(&inputs, |g, v| {
        embedding(g, &v[0], &v[1..], &ids, &prompt_of).0
    });
    let weights = testing::output_weights(y.len());
    for column in 0..300 {
        let at = |row: usize| weights[row * 300 + column];
        assert!((gradients[0][300 + column] - at(2) - at(4)).abs() < 1e-6);
    }
}

#[test]
#[should_panic(expected = "token ids below 5")]
fn an_id_outside_the_vocabulary_is_refused() {
    let mut graph = Graph::inference(&crate::backend::Host::new());
    let ids = Ragged::from_rows([[5u32].as_slice()]);
    embedding(&mut graph, &leaf((5, 3), 1), &[], &ids, &[None]);
}
