// check FOLDER...: runs the cases of each folder (cases.txt and data.bin: tests/native/golden/README.md)
// through the Kotlin API. One line a difference, then one line of counts; exit code 1 if any differ.

import edgeskin.Kernels
import java.io.File
import kotlin.system.exitProcess

fun main(folders: Array<String>) {
    val counts = sortedMapOf<String, Int>()
    var differences = 0
    for (folder in folders) {
        val data = File(folder, "data.bin").readBytes()
        for (line in File(folder, "cases.txt").readLines().filter { it.isNotEmpty() && it[0] != '#' }) {
            val golden = Case(line, data)
            counts[golden.function] = (counts[golden.function] ?: 0) + 1
            golden.difference()?.let {
                differences += 1
                println("${golden.function} ${golden.name}: $it")
            }
        }
    }
    val each = counts.map { (function, count) -> "$function $count" }.joinToString()
    println("${counts.values.sum()} cases ($each), $differences differences, ${Kernels.name}")
    exitProcess(if (counts.isNotEmpty() && differences == 0) 0 else 1)
}
