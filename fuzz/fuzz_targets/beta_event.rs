#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| openai_relay::fuzzing::beta_event(data));
