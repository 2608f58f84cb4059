//! Row copies and row sums on the CPU: bound by memory, so one thread does.

use super::{Kernels, Rows};
use crate::backend::Host;

impl Kernels for Host {
    fn gather(&self, y: &mut [f32], table: &[f32], rows: &Rows, width: usize) {
        for (&id, &place) in rows.ids.iter().zip(rows.places.iter()) {
            y[place * width..][..width].copy_from_slice(&table[id as usize * width..][..width]);
        }
    }

    fn scatter(&self, dtable: &mut [f32], dy: &[f32], rows: &Rows, width: usize) {
        for (&id, &place) in rows.ids.iter().zip(rows.places.iter()) {
            add_row(
                &mut dtable[id as usize * width..][..width],
                &dy[place * width..][..width],
            );
        }
    }

    fn place_prompt(&self, y: &mut [f32], prompt: &[f32], first: usize, width: usize) {
        y[first * width..][..prompt.len()].copy_from_slice(prompt);
    }

    fn add_prompt(&self, dprompt: &mut [f32], dy: &[f32], first: usize, width: usize) {
        let len = dprompt.len();
        add_row(dprompt, &dy[first * width..][..len]);
    }
}

fn add_row(total: &mut [f32], row: &[f32]) {
    total.iter_mut().zip(row).for_each(|(total, x)| *total += x);
}
