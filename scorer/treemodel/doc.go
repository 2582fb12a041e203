// Package treemodel loads LightGBM text models (versions v2, v3 and v4) and scores rows with them exactly as LightGBM does: raw scores bit for bit,
// transformed ones but for the last digit of exp. What it cannot score exactly it refuses by name, and a file that is damaged in any way is
// refused with its line and tree, so that no model scores silently wrong.
//
// A file passes through it thus: parse (lines to sections) → header and objective → trees (checked, flattened into one array of nodes) → kernel.
package treemodel
