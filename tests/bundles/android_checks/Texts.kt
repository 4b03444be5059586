import com.example.tiny.GroesseResult

/** The texts of the labels, as an app gets them. */
fun main() {
    val out = java.io.PrintStream(System.out, true, "UTF-8")
    for (label in GroesseResult.Severity.entries) out.println(label.text)
    for (label in GroesseResult.Count.entries) out.println(label.text)
}
