//! A model's parameters under their Hugging Face names, in a fixed order.

use std::collections::BTreeMap;

use crate::backend::{Device, Shape};

/// A named weight.
pub struct Parameter<D: Device> {
    /// The name in a Hugging Face checkpoint.
    pub name: String,
    /// The values. A vector is a matrix of one row.
    pub tensor: D::Tensor,
}

impl<D: Device> Clone for Parameter<D> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            tensor: self.tensor.clone(),
        }
    }
}

/// Parameters in a fixed order, found by name or by index.
pub struct ParameterSet<D: Device> {
    parameters: Vec<Parameter<D>>,
    index: BTreeMap<String, usize>,
}

impl<D: Device> Clone for ParameterSet<D> {
    fn clone(&self) -> Self {
        Self {
            parameters: self.parameters.clone(),
            index: self.index.clone(),
        }
    }
}

impl<D: Device> Default for ParameterSet<D> {
    fn default() -> Self {
        Self {
            parameters: Vec::new(),
            index: BTreeMap::new(),
        }
    }
}

impl<D: Device> ParameterSet<D> {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a parameter and returns its index.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn push(&mut self, name: impl Into<String>, tensor: D::Tensor) -> usize {
        let name = name.into();
        let index = self.parameters.len();
        let taken = self.index.insert(name.clone(), index);
        assert!(taken.is_none(), "parameter {name} twice");
        self.parameters.push(Parameter { name, tensor });
        index
    }

    /// The tensor at `index`.
    pub fn tensor(&self, index: usize) -> &D::Tensor {
        &self.parameters[index].tensor
    }

    /// The index of `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The parameter called `name`.
    pub fn get(&self, name: &str) -> Option<&Parameter<D>> {
        self.index_of(name).map(|index| &self.parameters[index])
    }

    /// Replaces the values at `index`.
    ///
    /// # Panics
    /// If the shape changes.
    pub fn set(&mut self, index: usize, tensor: D::Tensor) {
        let parameter = &mut self.parameters[index];
        assert_eq!(
            D::shape(&parameter.tensor),
            D::shape(&tensor),
            "shape of {}",
            parameter.name
        );
        parameter.tensor = tensor;
    }

    /// The parameters in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Parameter<D>> {
        self.parameters.iter()
    }

    /// How many parameters there are.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// How many values all parameters have together.
    pub fn num_values(&self) -> usize {
        self.parameters
            .iter()
            .map(|p| rows_times_columns(D::shape(&p.tensor)))
            .sum()
    }
}

fn rows_times_columns((rows, columns): Shape) -> usize {
    rows * columns
}
