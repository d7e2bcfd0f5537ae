"""The ground's forms: a module an artifact says what its JSON file must hold; `files.read_json` checks a file by it.

Keys beyond a form's are allowed: other readers, people and later versions may have more. docs/files.md describes them.
A form has a module of its own, so that a job's fingerprint knows only those that it reads.
"""
