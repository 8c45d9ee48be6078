mod simulation {
    pub mod dice;
    pub mod faults;
    pub mod store;
    mod store_tests;
    pub mod checker;
    pub mod folds;
    pub mod history;
    pub mod model;
    pub mod world;
}
