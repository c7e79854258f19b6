"""Providers that users write: `ProviderDataBacktesting` stores and serves the bars of any `BarProvider`."""
