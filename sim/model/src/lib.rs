//! The delivery protocol, model-checked.
