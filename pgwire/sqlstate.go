package pgwire

import "fmt"

// Code is a SQLSTATE. All codes pgcache uses are below; nothing else spells one.
type Code string

// Classes 00 to 0A.
const (
	CodeSuccess             Code = "00000"
	CodeWarning             Code = "01000"
	CodeProtocolViolation   Code = "08P01"
	CodeFeatureNotSupported Code = "0A000"
)

// Class 22: data.
const (
	CodeDataException               Code = "22000"
	CodeStringDataRightTruncation   Code = "22001"
	CodeInvalidRegularExpression    Code = "2201B"
	CodeInvalidArgumentForLogarithm Code = "2201E"
	CodeInvalidArgumentForPower     Code = "2201F"
	CodeInvalidWidthBucket          Code = "2201G"
	CodeStringDataLengthMismatch    Code = "22026"
	CodeNumericValueOutOfRange      Code = "22003"
	CodeInvalidDatetimeFormat       Code = "22007"
	CodeDatetimeFieldOverflow       Code = "22008"
	CodeDivisionByZero              Code = "22012"
	CodeCharacterNotInRepertoire    Code = "22021"
	CodeInvalidParameterValue       Code = "22023"
	CodeSubstringError              Code = "22011"
	CodeInvalidEscapeSequence       Code = "22025"
	CodeInvalidUseOfEscapeCharacter Code = "2200C"
	CodeArraySubscriptError         Code = "2202E"
	CodeInvalidTextRepresentation   Code = "22P02"
	CodeInvalidBinaryRepresentation Code = "22P03"
	CodeBadCopyFileFormat           Code = "22P04"
	CodeUntranslatableCharacter     Code = "22P05"
	CodeCardinalityViolation        Code = "21000"
	CodeInvalidRowCount             Code = "2201W"
	CodeInvalidOffset               Code = "2201X"
	CodeInvalidFrameOffset          Code = "22013"
	CodeInvalidNtile                Code = "22014"
	CodeInvalidNthValue             Code = "22016"
	CodeInvalidTablesampleArgument  Code = "2202H"
	CodeInvalidTablesampleRepeat    Code = "2202G"
	CodeNullValueNotAllowed         Code = "22004"
	CodeDuplicateJSONKey            Code = "22030"
	CodeNotNullViolation            Code = "23502"
	CodeUniqueViolation             Code = "23505"
	CodeInvalidCursorState          Code = "24000"
)

// Class 25: transaction state.
const (
	CodeActiveTransaction               Code = "25001"
	CodeReadOnlyTransaction             Code = "25006"
	CodeNoActiveTransaction             Code = "25P01"
	CodeInFailedTransaction             Code = "25P02"
	CodeIdleInTransactionSessionTimeout Code = "25P03"
	CodeTransactionTimeout              Code = "25P04"
)

// Classes 26 to 40: names and authorization.
const (
	CodeInvalidStatementName Code = "26000"
	CodeInvalidAuthorization Code = "28000"
	CodeInvalidPassword      Code = "28P01"
	CodeInvalidCursorName    Code = "34000"
	CodeInvalidSavepoint     Code = "3B001"
	CodeInvalidCatalogName   Code = "3D000"
	CodeInvalidSchemaName    Code = "3F000"
	CodeSerializationFailure Code = "40001"
	CodeDeadlockDetected     Code = "40P01"
)

// Class 42: syntax and semantics.
const (
	CodeInsufficientPrivilege      Code = "42501"
	CodeSyntaxError                Code = "42601"
	CodeInvalidColumnReference     Code = "42P10"
	CodeInvalidName                Code = "42602"
	CodeDuplicateColumn            Code = "42701"
	CodeAmbiguousColumn            Code = "42702"
	CodeUndefinedColumn            Code = "42703"
	CodeUndefinedObject            Code = "42704"
	CodeDuplicateAlias             Code = "42712"
	CodeAmbiguousFunction          Code = "42725"
	CodeGroupingError              Code = "42803"
	CodeDatatypeMismatch           Code = "42804"
	CodeWrongObjectType            Code = "42809"
	CodeCannotCoerce               Code = "42846"
	CodeUndefinedFunction          Code = "42883"
	CodeGeneratedAlways            Code = "428C9"
	CodeWindowingError             Code = "42P20"
	CodeInvalidRecursion           Code = "42P19"
	CodeUndefinedTable             Code = "42P01"
	CodeUndefinedParameter         Code = "42P02"
	CodeDuplicateCursor            Code = "42P03"
	CodeDuplicatePreparedStatement Code = "42P05"
	CodeAmbiguousParameter         Code = "42P08"
	CodeIndeterminateDatatype      Code = "42P18"
)

// Classes 53 to 58: resources, state, operator, system.
const (
	CodeDiskFull                     Code = "53100"
	CodeOutOfMemory                  Code = "53200"
	CodeTooManyConnections           Code = "53300"
	CodeConfigurationLimitExceeded   Code = "53400"
	CodeProgramLimitExceeded         Code = "54000"
	CodeStatementTooComplex          Code = "54001"
	CodeTooManyColumns               Code = "54011"
	CodeTooManyArguments             Code = "54023"
	CodeObjectNotInPrerequisiteState Code = "55000"
	CodeObjectInUse                  Code = "55006"
	CodeCantChangeRuntimeParam       Code = "55P02"
	CodeLockNotAvailable             Code = "55P03"
	CodeQueryCanceled                Code = "57014"
	CodeAdminShutdown                Code = "57P01"
	CodeCannotConnectNow             Code = "57P03"
	CodeIdleSessionTimeout           Code = "57P05"
	CodeIOError                      Code = "58030"
	CodeUndefinedFile                Code = "58P01"
)

// Class XX: our own bugs and damaged data.
const (
	CodeInternalError Code = "XX000"
	CodeDataCorrupted Code = "XX001"
)

// Severity of an Error or notice.
type Severity string

const (
	SeverityError   Severity = "ERROR"
	SeverityFatal   Severity = "FATAL"
	SeverityWarning Severity = "WARNING"
	SeverityNotice  Severity = "NOTICE"
)

// Error is an error or notice as the client gets it.
type Error struct {
	Severity   Severity // empty: ERROR
	Code       Code
	Message    string
	Detail     string
	Hint       string
	Position   int // 1-based, in characters of the statement; 0: none
	Where      string
	Table      string
	Column     string
	Constraint string
	// Cause is logged, never sent.
	Cause error
}

func (e *Error) Error() string { return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code) }
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an ERROR.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// fatalf makes a FATAL: the connection ends after it.
func fatalf(code Code, format string, args ...any) *Error {
	e := Errorf(code, format, args...)
	e.Severity = SeverityFatal
	return e
}
