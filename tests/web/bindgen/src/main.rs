//! `bindgen INPUT.wasm FOLDER`: the module and its JavaScript for a page.

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(folder)) = (args.next(), args.next()) else { panic!("bindgen INPUT.wasm FOLDER") };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(input).web(true).expect("the target `web`").typescript(false);
    bindgen.generate(folder).expect("a module of this version of wasm-bindgen");
}
