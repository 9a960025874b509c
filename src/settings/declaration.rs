//! The declaration of settings: struct, names, defaults and texts in one place.

/// Declares a struct of settings: each field is an environment variable, with its type, default and text.
///
/// The variable is the field's name in upper case. The doc comment of a field is its line in the reference, so it says
/// unit and effect. A default that a value would not explain is followed by `=>` and words for the reference. Types are
/// those with a [`Value`](crate::settings::Value); [`Loader::load`](crate::settings::Loader::load) gives the struct.
///
/// ```
/// use redis_consumer::settings::{Env, Loader, Seconds, Switch};
///
/// redis_consumer::settings! {
///     /// How a teapot behaves.
///     pub struct TeapotSettings {
///         /// Time to brew, in seconds.
///         pub brew_time: Seconds = Seconds::new(180),
///         /// Warm the pot first.
///         pub warm_pot: Switch = Switch(false),
///         /// Cups per pot.
///         pub cups: usize = 2 + 2 => "twice two",
///     }
/// }
///
/// let env: Env = [("BREW_TIME", "90.5"), ("WARM_POT", "yes")].into_iter().collect();
/// let mut loader = Loader::new(&env);
/// let teapot: TeapotSettings = loader.load();
/// assert_eq!(teapot.brew_time.0.as_secs_f64(), 90.5);
/// assert!(teapot.warm_pot.0 && teapot.cups == 4);
/// assert!(loader.finish().is_ok());
/// ```
#[macro_export]
macro_rules! settings {
    (@words) => { ::core::option::Option::None };
    (@words $words:literal) => { ::core::option::Option::Some($words) };
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $text:literal])+
                $field_vis:vis $field:ident: $kind:ty = $default:expr $(=> $words:literal)?
            ),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $text])+ $field_vis $field: $kind,)+
        }

        impl $crate::settings::Declared for $name {
            const ABOUT: &'static str = concat!($($about),+);

            const FIELDS: &'static [$crate::settings::Field] = &[$(
                $crate::settings::Field {
                    name: stringify!($field),
                    text: concat!($($text),+),
                    default: || {
                        let default: $kind = $default;
                        $crate::settings::Value::shown(&default)
                    },
                    default_in_words: $crate::settings!(@words $($words)?),
                },
            )+];

            fn read(loader: &mut $crate::settings::Loader<'_>) -> Self {
                let mut fields = Self::FIELDS.iter();
                Self {
                    // The fields of a struct are evaluated in the order in which they are written.
                    $($field: loader.value(fields.next(), || $default),)+
                }
            }
        }
    };
}
