package schemas

// What tests see of the inside.
var (
	DecimalFloat = decimalFloat
	DecimalFits  = decimalFits
	IsDecimal    = isDecimal
)
