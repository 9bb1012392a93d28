//! `bindgen INPUT.wasm FOLDER [--small]`: the module and its JavaScript for a page; small without the names of functions.

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(folder)) = (args.next(), args.next()) else { panic!("bindgen INPUT.wasm FOLDER [--small]") };
    let small = args.next().is_some_and(|option| option == "--small");
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(input).web(true).expect("the target `web`").typescript(false);
    bindgen.remove_name_section(small).remove_producers_section(small);
    bindgen.generate(folder).expect("a module of this version of wasm-bindgen");
}
