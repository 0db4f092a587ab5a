#![no_std]
//! envelope
