"""One module a provider: a time range in, canonical bars out. Nothing here knows a store or Lumibot."""
