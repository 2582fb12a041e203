package schemas

// FieldUse is one place where a file (a feature set, a policy) names a field of the order. Where no schema says which fields there are, these are held
// against the orders themselves.
type FieldUse struct {
	Path   Path
	Line   int
	Number bool     // only a number or a boolean is of use there: anything else is missing
	Names  []string // what else could have been meant there, beside fields: features, the score
}
