#![no_std]
//! sim
