package main

import "errors"

// errInvalid is wrapped by errors about usage or about a file that is not valid: exit code 2.
var errInvalid = errors.New("invalid")
