//! Computing again instead of keeping: activations for arithmetic.

use crate::backend::Backend;
use crate::graph::{Graph, Var};

/// `f(inputs)`, of which only the inputs are kept for the backward pass: it computes `f` again, with
/// a tape this time.
///
/// `f` has to give the same result each time. Gradients have the bits that they have without this,
/// since the same operations run in the same order. `tuned` says whether `f` reads leaves beside its
/// inputs, such as weights.
pub fn recomputed<B: Backend, F>(
    graph: &mut Graph<B>,
    inputs: Vec<Var<B>>,
    tuned: bool,
    f: F,
) -> Var<B>
where
    F: Fn(&mut Graph<B>, &[Var<B>]) -> Var<B> + 'static,
{
    let device = graph.device().clone();
    let y = f(&mut Graph::inference(&device), &inputs);
    let records = graph.records(&inputs.iter().collect::<Vec<_>>());
    let backward = move |gradients: &mut B::Gradients, dy: B::Buffer| {
        let mut again = Graph::training(&device, std::mem::take(gradients));
        let y = f(&mut again, &inputs);
        *gradients = again.backward_from(&y, dy);
    };
    let wanted = records || tuned && graph.is_training();
    graph.output_tensor(y.tensor().clone(), wanted.then_some(backward))
}
