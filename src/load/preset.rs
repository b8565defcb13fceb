//! Traffic with names: what each stands for, and the flags that make it.
//!
//! Deliberately knows nothing but words: they are read like those on the command line, and flags beside `--preset` go
//! before them.

use clap::ValueEnum;

/// A named traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Hundreds of processes with an SDK each, straight to the server: small cumulative exports over many connections,
    /// one at a time each (--series 50000 --resources 500 --metrics 20 --attributes 4 --batch 100 --connections 100
    /// --in-flight 1 --kind cumulative-sum=10, cumulative-sum-double=2, gauge-double=4, cumulative-histogram=4)
    SdkFleet,
    /// A few collectors that batch for everyone behind them: large requests of all kinds in both temporalities, a few
    /// points late (--series 100000 --resources 200 --metrics 25 --batch 8192 --connections 4 --in-flight 4 --late
    /// 0.001 --kind cumulative-sum=8, delta-sum=8, gauge=4, gauge-double=1, delta-histogram=1, cumulative-histogram=1,
    /// delta-exponential-histogram=1, summary=1)
    Gateway,
    /// Pods that come and go: one series in a hundred is another one at each export, and one counter in a hundred
    /// starts over (--series 50000 --metrics 10 --churn 0.01 --resets 0.01 --connections 8 --kind delta-sum=6,
    /// cumulative-sum=3, delta-histogram=1)
    Churn,
    /// A few hundred series that everyone feeds, drawn from a thousand by Zipf's law, over many connections: what
    /// contends, contends here (--series 1000 --resources 1 --metrics 4 --order zipf --batch 1000 --connections 32
    /// --in-flight 2 --kind delta-sum)
    Hot,
    /// Latencies: explicit histograms of 14 bounds and exponential ones, in both temporalities (--series 20000
    /// --metrics 10 --attributes 6 --connections 4 --kind delta-histogram=4, cumulative-histogram=4,
    /// delta-exponential-histogram=1, cumulative-exponential-histogram=1)
    Histograms,
}

impl Preset {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The flags it stands for.
    pub const fn words(self) -> &'static str {
        match self {
            Preset::SdkFleet => {
                "--series 50000 --resources 500 --metrics 20 --attributes 4 --batch 100 --connections 100 --in-flight 1 \
                 --kind cumulative-sum=10,cumulative-sum-double=2,gauge-double=4,cumulative-histogram=4"
            }
            Preset::Gateway => {
                "--series 100000 --resources 200 --metrics 25 --batch 8192 --connections 4 --in-flight 4 --late 0.001 \
                 --kind cumulative-sum=8,delta-sum=8,gauge=4,gauge-double=1,delta-histogram=1,cumulative-histogram=1,\
                 delta-exponential-histogram=1,summary=1"
            }
            Preset::Churn => {
                "--series 50000 --metrics 10 --churn 0.01 --resets 0.01 --connections 8 \
                 --kind delta-sum=6,cumulative-sum=3,delta-histogram=1"
            }
            Preset::Hot => {
                "--series 1000 --resources 1 --metrics 4 --order zipf --batch 1000 --connections 32 --in-flight 2 \
                 --kind delta-sum"
            }
            Preset::Histograms => {
                "--series 20000 --metrics 10 --attributes 6 --connections 4 --kind \
                 delta-histogram=4,cumulative-histogram=4,delta-exponential-histogram=1,cumulative-exponential-histogram=1"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help says the very flags that are used, with a blank behind each kind so that lines can break.
    #[test]
    fn the_help_of_a_preset_is_what_it_does() {
        for preset in Preset::value_variants() {
            let value = preset.to_possible_value().unwrap();
            let help = value.get_help().unwrap().to_string();
            let words = |text: &str| text.split_whitespace().collect::<String>();
            assert!(words(&help).contains(&words(preset.words())), "{help}\n{}", preset.words());
        }
    }
}
