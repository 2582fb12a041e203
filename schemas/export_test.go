package schemas

// What tests see of the inside.
var (
	DecimalValue = decimalValue
	DecimalFits  = decimalFits
	IsDecimal    = isDecimal
)
