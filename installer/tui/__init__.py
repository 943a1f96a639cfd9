"""The full-screen front end. It shows what the core says and hands over what is typed; no rule."""
