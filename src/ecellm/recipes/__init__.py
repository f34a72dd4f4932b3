"""The recipes that come with ecellm, one TOML file each; `ecellm recipes` lists and shows them."""
