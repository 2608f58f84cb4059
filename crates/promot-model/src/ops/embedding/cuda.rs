//! Row copies and row sums on the GPU.

use super::{Kernels, Rows};
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module, index_u32};

static MODULE: Module = Module {
    name: "embedding",
    ptx: include_str!("embedding.ptx"),
};
const GATHER: Kernel = Kernel {
    module: &MODULE,
    name: "gather_rows",
};
const SCATTER: Kernel = Kernel {
    module: &MODULE,
    name: "scatter_rows",
};

/// Threads that share a row's columns in [`SCATTER`].
const THREADS: u32 = 128;

/// The tokens of each id one after another, in their order: so sums do not depend on who comes first.
struct Groups {
    /// Distinct ids.
    ids: Vec<u32>,
    /// Where each id's tokens begin in `places`, and the end of the last one's.
    starts: Vec<u32>,
    /// Rows of the gradient.
    places: Vec<u32>,
}

impl Groups {
    fn of(rows: &Rows) -> Self {
        let mut order: Vec<usize> = (0..rows.ids.len()).collect();
        order.sort_by_key(|&token| rows.ids[token]);
        let mut groups = Self {
            ids: Vec::new(),
            starts: Vec::new(),
            places: Vec::new(),
        };
        for (at, token) in order.into_iter().enumerate() {
            let id = rows.ids[token];
            if groups.ids.last() != Some(&id) {
                groups.ids.push(id);
                groups.starts.push(index_u32(at));
            }
            groups.places.push(index_u32(rows.places[token]));
        }
        groups.starts.push(index_u32(groups.places.len()));
        groups
    }
}

impl Kernels for Gpu {
    fn gather(&self, y: &mut GpuSlice, table: &GpuSlice, rows: &Rows, width: usize) {
        let ids = self.upload_u32(&rows.ids);
        let places = self.indices(&rows.places);
        let len = rows.ids.len() * width;
        let arguments = [
            y.argument(),
            table.argument(),
            ids.as_ref().argument(),
            GpuBuffer::as_ref(&places).argument(),
            Argument::U32(index_u32(width)),
            Argument::U64(len as u64),
        ];
        self.launch_over(GATHER, len, &arguments);
    }

    fn scatter(&self, dtable: &mut GpuSlice, dy: &GpuSlice, rows: &Rows, width: usize) {
        let groups = Groups::of(rows);
        let [ids, starts, places] =
            [&groups.ids, &groups.starts, &groups.places].map(|values| self.upload_u32(values));
        let arguments = [
            dtable.argument(),
            dy.argument(),
            ids.as_ref().argument(),
            starts.as_ref().argument(),
            places.as_ref().argument(),
            Argument::U32(index_u32(width)),
        ];
        self.launch(SCATTER, [groups.ids.len(), 1, 1], THREADS, 0, &arguments);
    }

    fn place_prompt(&self, y: &mut GpuSlice, prompt: &GpuSlice, first: usize, width: usize) {
        self.copy_into(y, first * width, prompt);
    }

    fn add_prompt(&self, dprompt: &mut GpuSlice, dy: &GpuSlice, first: usize, width: usize) {
        self.add_at(dprompt, dy, first * width);
    }
}
